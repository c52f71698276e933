
    
    select
      count(*) as failures,
      count(*) != 0 as should_warn,
      count(*) != 0 as should_error
    from (
      
    
  
    
    



select position
from "y"."stats"."waterfall"
where position is null



  
  
      
    ) dbt_internal_test