
    
    select
      count(*) as failures,
      count(*) != 0 as should_warn,
      count(*) != 0 as should_error
    from (
      
    
  select * from "y"."stats"."balance" where difference <> 0
  
  
      
    ) dbt_internal_test