
    
    select
      count(*) as failures,
      count(*) != 0 as should_warn,
      count(*) != 0 as should_error
    from (
      
    
  
    
    

select
    position as unique_field,
    count(*) as n_records

from "y"."stats"."waterfall"
where position is not null
group by position
having count(*) > 1



  
  
      
    ) dbt_internal_test